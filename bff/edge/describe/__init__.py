"""What a gateway says of itself: OpenAPI, AsyncAPI, the JSON Schema of events, and pages to read."""
