"""What a router is made of: its calls from start to end, what follows for its targets, and who waits. No brokers in here."""
