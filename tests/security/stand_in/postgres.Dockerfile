# What the official image promises: its user, its folders, its variables, scripts in /docker-entrypoint-initdb.d.
ARG BASE
FROM ${BASE}
COPY entrypoint.sh /usr/local/bin/entrypoint.sh
RUN mkdir -p /docker-entrypoint-initdb.d /var/lib/postgresql/data /var/run/postgresql \
    && chown postgres: /var/lib/postgresql/data /var/run/postgresql && chmod 3777 /var/run/postgresql \
    && chmod 1777 /var/lib/postgresql/data && chmod 755 /usr/local/bin/entrypoint.sh
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint.sh"]
CMD ["postgres"]
