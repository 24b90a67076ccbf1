# Home Assistant answers `import voluptuous` with probatio since 2026.9.
from probatio import *
