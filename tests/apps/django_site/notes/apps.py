"""Makes the notes an app of Django."""
from django.apps import AppConfig


class NotesConfig(AppConfig):
    name = "notes"
