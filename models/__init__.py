"""What crosses a wire and what people write and read. Begin with `events` and `snapshot`."""
