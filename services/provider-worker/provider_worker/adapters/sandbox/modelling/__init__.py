"""Things with a skin: parametric 3D models as GLB files."""
