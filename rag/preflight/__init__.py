"""Check whether a deployment is ready for production, from inside a pod or from outside, without changing anything.

The service refuses to start with a configuration that can never work. These checks find problems that only show in
production: a memory limit that is too low, a Redis that evicts keys, a proxy that buffers events.
"""
