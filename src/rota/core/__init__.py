"""What the server does: take jobs in, hand them out, take results back, keep time."""
