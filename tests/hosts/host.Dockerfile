# Stands in for an EC2 instance of Ubuntu that has Docker already: systemd, cloud-init, sshd, boto3.
# Also for what hosts reach by the network: a registry, and the DNS of the VPC.
FROM celeriac-stand-in/debian
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
        ca-certificates cloud-init curl dbus dnsmasq-base docker-cli docker-compose docker-registry docker.io \
        e2fsprogs git gpg iproute2 iptables openssh-server procps python3-boto3 sudo systemd systemd-sysv \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* /etc/ssh/ssh_host_* /etc/machine-id \
    && touch /etc/machine-id \
    && systemctl mask docker-registry.service systemd-udevd.service systemd-udev-trigger.service
COPY host /
CMD ["/sbin/init"]
