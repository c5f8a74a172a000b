"""What every service does alike: settings, database, inbox and outbox, Kafka, HTTP, telemetry, life cycle.

Knows no business word; of the event contract it knows the envelope, the topics and the dead letter.
"""
