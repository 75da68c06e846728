"""Notes belong to topics; a note may have a file."""
from django.db import models


class Topic(models.Model):
    name = models.CharField(max_length=50, unique=True)

    def __str__(self):
        return self.name


class Note(models.Model):
    topic = models.ForeignKey(Topic, models.CASCADE)
    text = models.TextField()
    attached = models.FileField(upload_to="attached", blank=True)
    written = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.text[:30]
