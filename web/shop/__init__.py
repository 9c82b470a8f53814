"""The demo shop, owned by its frontend team: upstream clients, models, gateway, page, and what starts it all."""
