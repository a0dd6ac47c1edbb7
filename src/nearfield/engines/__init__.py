"""Where do vectors live? One adapter a file; the files without an SDK are what adapters share."""
