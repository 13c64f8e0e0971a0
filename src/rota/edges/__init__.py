"""What connects Rota to other systems; see docs/architecture.md."""
