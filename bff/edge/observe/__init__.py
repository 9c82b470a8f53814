"""What a person on duty sees: traces and logs, metrics, health."""
