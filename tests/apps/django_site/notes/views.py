"""Pages, a form, an export that streams, files up and down."""
import hashlib
import logging

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from .forms import NoteForm
from .models import Note

log = logging.getLogger(__name__)
MOTTO = "Write it down."  # the tests change it on disk


def index(request):
    form = NoteForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        note = form.save()
        messages.success(request, f"Noted: {note}")
        return redirect("index")
    return render(request, "notes/index.html", {
        "form": form, "motto": MOTTO,
        "notes": Note.objects.select_related("topic").order_by("-id")[:100],
    }, status=200 if not form.errors else 422)


@login_required
def mine(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"user": request.user.get_username(),
                         "visits": request.session["visits"]})


def attached(_request, number):
    note = get_object_or_404(Note, pk=number)
    return FileResponse(note.attached.open(), as_attachment=True)


def export(_request):
    return StreamingHttpResponse(
        (f"{note.topic.name}: {note.text}\n" for note in
         Note.objects.select_related("topic").order_by("id").iterator()),
        content_type="text/plain; charset=utf-8")


def follow(_request, pipe):
    """A block for every byte that somebody writes to the pipe."""
    def blocks():
        try:
            with open(settings.DATA / pipe, "rb", buffering=0) as source:
                while byte := source.read(1):
                    yield byte
        finally:
            log.info("nobody follows")
    return StreamingHttpResponse(blocks())


@require_POST
def digest(request):
    found, size = hashlib.sha256(), 0
    while block := request.read(65536):
        found.update(block)
        size += len(block)
    return JsonResponse({"sha256": found.hexdigest(), "size": size,
                         "length": request.META.get("CONTENT_LENGTH")})


def crash(_request):
    return 1 / 0
