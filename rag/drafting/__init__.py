"""What a generator is asked, and what it says, delta by delta; not yet an answer."""
