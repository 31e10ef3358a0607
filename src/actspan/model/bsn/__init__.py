"""TEM and PEM in torch; imported only where torch is needed."""
