"""Makes tracks of records that a PDS holds already. Imports reconcile."""
