"""Settings, the composition root, the app, the scheduler, the command line. Imports everything."""
