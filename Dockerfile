# Mage with what this project's blocks import.
FROM mageai/mageai:0.9.80
COPY requirements.txt /tmp/requirements.txt
RUN pip3 install --no-cache-dir -r /tmp/requirements.txt
WORKDIR /home/src
CMD ["mage", "start", "kly_mage", "--host", "0.0.0.0", "--port", "6789"]
