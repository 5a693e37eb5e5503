"""The demonstration: recorded traffic, recorded providers, troubles; in virtual time, live on Kafka, as a film."""
