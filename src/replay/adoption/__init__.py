"""Makes tracks of the records that a PDS holds already. Imports reconcile."""
