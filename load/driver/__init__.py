"""Drive a load: `python -m load.driver` sends questions and reports latencies, throughput and failures.

The main loop is open: each request is sent at its scheduled time, whether or not earlier ones have been answered. A
closed loop sends fewer requests the slower the answers are, and so never shows the behaviour under overload.
"""
