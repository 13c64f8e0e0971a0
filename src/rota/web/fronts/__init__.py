"""The older interfaces, one module each. A front knows the service and nothing of the other fronts."""
