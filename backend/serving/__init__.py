"""What answers: live models, swapped without a failed request, and the threads that compute."""
