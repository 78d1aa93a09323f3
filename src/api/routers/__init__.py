"""One router a resource: translate, call, translate."""
