"""The pages of the notes."""
from django.urls import path

from . import views

urlpatterns = [
    path("", views.index, name="index"),
    path("attached/<int:number>", views.attached, name="attached"),
    path("mine", views.mine, name="mine"),
    path("export", views.export, name="export"),
    path("follow/<str:pipe>", views.follow, name="follow"),
    path("digest", views.digest, name="digest"),
    path("crash", views.crash, name="crash"),
]
