"""What a gateway says of itself: OpenAPI, AsyncAPI, and pages to read."""
