"""Is a deployment ready for production? Asked inside a pod and from outside; looks at everything, changes nothing.

The service itself refuses to start on what can never work. What is here would start, and be found out in production: a
memory limit that is too low, a Redis that evicts, a proxy that holds events back.
"""
