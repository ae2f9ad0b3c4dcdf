# Settings of every notebook server where restrictedZone.downloads is false. They come before those of the image and of
# the member, as this folder stands in JUPYTER_CONFIG_PATH.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
c.ServerApp.jpserver_extensions.update({"gpuspawner_no_downloads": True})
c.ContentsManager.files_handler_class = "gpuspawner_no_downloads.Refusal"
c.ContentsManager.files_handler_params = {}
