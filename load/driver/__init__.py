"""The load driver: `python -m load.driver` sends questions as they come, and says how the service held.

Its main loop is open: a client asks when its time has come, whether or not others have been answered. A closed loop
asks less the slower the answers are, and so never shows what happens when there is too much to do.
"""
