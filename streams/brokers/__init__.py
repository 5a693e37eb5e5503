"""Kafka as such: connections, topics, rights, groups, reading stretches of partitions, sending until it is confirmed."""
