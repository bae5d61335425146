"""Test endurance: send all kinds of requests for a long time, and measure whether the server's processes grow."""
