"""Topics and notes in Django's admin."""
from django.contrib import admin

from .models import Note, Topic

admin.site.register(Topic)


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["text", "topic", "written"]
    list_filter = ["topic"]
    search_fields = ["text"]
