"""Orders: takes an order, and sees it through reserve, charge and ship, or back again."""
