"""Skies that light a scene: equirectangular pictures of light far beyond white."""
