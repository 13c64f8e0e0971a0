from django.db import models


class Order(models.Model):
    once = models.UUIDField(unique=True)
    email = models.EmailField()
    job = models.CharField(max_length=64, blank=True)
    receipt = models.TextField(blank=True)
