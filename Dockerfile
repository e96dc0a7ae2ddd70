# The images of docker-compose.yml, which says how they are run. `make images` compiles their static programs and builds each from a directory of
# its own, .cache/images/NAME; there is nothing else in them: no shell, no library, no package. No stage needs another one, and `make images` gives
# docker only the lines of one, because builders older than BuildKit would build those before it, too.
#
# The empty directories are where volumes are mounted: a named volume that is new takes over the owner and the mode of what it covers.
# Users: setup 10000, tiger and gateway 10001, eagle 10002, temporal 10003, temporal-front 10004, branches 10005, starter 10006.

FROM scratch AS setup
COPY setup /bin/
COPY --chown=10000:10000 private/ /secrets/ca/
COPY --chown=10000:10001 empty/ /secrets/tiger/
COPY --chown=10000:10001 empty/ /secrets/gateway/
COPY --chown=10000:10002 empty/ /secrets/eagle/
COPY --chown=10000:10004 empty/ /secrets/temporal-front/
COPY --chown=10000:10005 empty/ /secrets/branch-001/
COPY --chown=10000:10005 empty/ /secrets/branch-002/
COPY --chown=10000:10005 empty/ /secrets/branch-003/
COPY --chown=10000:10006 empty/ /secrets/starter/
USER 10000:10000
ENTRYPOINT ["/bin/setup"]

FROM scratch AS temporal
COPY temporal healthcheck /bin/
COPY --chown=10003:10003 private/ /var/lib/temporal/
# It looks up who it is, and there is no /etc/passwd.
ENV HOME=/tmp USER=temporal
USER 10003:10003
ENTRYPOINT ["/bin/temporal"]

FROM scratch AS temporal-front
COPY temporalproxy healthcheck /bin/
USER 10004:10004
ENTRYPOINT ["/bin/temporalproxy"]

FROM scratch AS gateway
COPY gateway versitygw healthcheck /bin/
COPY --chown=10001:10001 warehouse/ /data/
COPY --chown=10001:10001 private/ /var/lib/gateway/
USER 10001:10001
ENTRYPOINT ["/bin/gateway"]

FROM scratch AS worker
COPY worker healthcheck /bin/
COPY --chown=10001:10001 warehouse/ /data/
COPY --chown=10002:10002 private/ /scratch/
USER 10002:10002
ENTRYPOINT ["/bin/worker"]

FROM scratch AS starter
COPY starter /bin/
USER 10006:10006
ENTRYPOINT ["/bin/starter"]

FROM scratch AS branch
COPY ftpdemo healthcheck /bin/
USER 10005:10005
ENTRYPOINT ["/bin/ftpdemo"]
