"""Heavy or remote things behind the ports; what costs seconds to import is imported where it is constructed."""
