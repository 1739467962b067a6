"""What the project's own developers run: generated pages, a template for a method, the lock file, warm kernels."""
