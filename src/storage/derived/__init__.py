"""What is made from media and can be made again: renditions of covers, waveforms of audio, and the rows of that work."""
