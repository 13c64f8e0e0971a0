from django.urls import path
from orders import views

urlpatterns = [path("", views.new_order), path("orders/<int:number>", views.show_order)]
