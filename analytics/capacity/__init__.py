"""How much load still fits: service laws fitted from events, recorded arrivals played against them."""
