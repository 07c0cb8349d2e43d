# Mage with what this project's blocks import.
FROM mageai/mageai:0.9.80
COPY requirements.txt /tmp/requirements.txt
RUN pip3 install --no-cache-dir -r /tmp/requirements.txt
WORKDIR /home/src
# With the guard that `make editor` has: whoever is not signed in gets the sign-in page, and a first start fires no run.
CMD ["python3", "-m", "kly_mage.mage.server", "0.0.0.0", "6789"]
