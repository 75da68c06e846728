"""What a visitor fills in."""
from django import forms

from .models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["topic", "text", "attached"]

    def clean_text(self):
        text = self.cleaned_data["text"]
        if "shout" in text:
            raise forms.ValidationError("Please do not shout.")
        return text
