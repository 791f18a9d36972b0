# The processes of `accept`: kube-apiserver, etcd, a cluster of one member, two replicas of the operator.

# Free ports on loopback.
ports=($(python3 -c 'import socket
s = [socket.socket() for _ in range(5)]
[x.bind(("127.0.0.1", 0)) for x in s]
print(*[x.getsockname()[1] for x in s])'))

start() {
    local name=$1
    shift
    "$@" >>"$home/$name.log" 2>&1 &
    pids[$name]=$!
}
start_etcd() {
    start etcd "$kube/etcd" --data-dir "$home/etcd" --listen-client-urls "http://127.0.0.1:${ports[0]}" \
        --advertise-client-urls "http://127.0.0.1:${ports[0]}" --listen-peer-urls "http://127.0.0.1:${ports[1]}"
}
start_apiserver() {
    start apiserver "$kube/kube-apiserver" --etcd-servers "http://127.0.0.1:${ports[0]}" --bind-address 127.0.0.1 \
        --advertise-address 127.0.0.1 --secure-port "${ports[2]}" --cert-dir "$home/certificates" \
        --service-cluster-ip-range 10.0.0.0/24 --authorization-mode RBAC --token-auth-file "$home/tokens" \
        --service-account-issuer https://kubernetes.default --service-account-key-file "$home/accounts.key" \
        --service-account-signing-key-file "$home/accounts.key" --disable-admission-plugins ServiceAccount \
        --audit-policy-file "$home/audit-policy" --audit-log-path "$home/audit-here"
}
start_cluster() {
    rm -f "$home/cluster/config.yaml"
    start cluster "$programs/quorated" dev --members 1 --restart --dir "$home/cluster"
    eventually test -e "$home/cluster/config.yaml"
}
start_operator() {
    KUBECONFIG=$home/operator.kubeconfig start "operator-$1" "$programs/quorate-operator" --namespace quorate-system \
        --identity "pod-$1-$RANDOM" --listen "127.0.0.1:${ports[$((2 + $1))]}" --config "$home/operator.yaml"
}
stop() {
    kill "-$2" "${pids[$1]}"
    wait "${pids[$1]}" 2>>"$home/killed" || true
    unset "pids[$1]"
}
restart() {
    stop "$1" "$2"
    case $1 in
        operator-*) start_operator "${1#operator-}" ;;
        *) "start_$1" ;;
    esac
    restarts[$1]=$((${restarts[$1]:-0} + 1))
}
# The member alone; who watches over it starts it again.
crash_member() {
    local pid
    pid=$(cat "$home/cluster/m1/pid")
    kill -KILL "$pid"
    started_again() { [ "$(cat "$home/cluster/m1/pid")" != "$pid" ]; }
    eventually started_again
    restarts[cluster]=$((${restarts[cluster]:-0} + 1))
}

kubeconfig() {
    cat <<END
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:${ports[2]}", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: $1}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
END
}
start_all() {
    mkdir -p "$home/certificates"
    openssl genrsa -out "$home/accounts.key" 2048 2>>"$home/openssl.log"
    # The operator is who deploy/kubernetes makes it, with the rights that it gets there.
    cat >"$home/tokens" <<END
of-the-admin,admin,1,system:masters
of-the-operator,$operator,2,system:serviceaccounts
END
    cat >"$home/audit-policy" <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Request, users: ["$operator"], verbs: [create, update, patch, delete], resources: [{group: quorate.dev}]}
- {level: None}
END
    kubeconfig of-the-admin >"$home/admin.kubeconfig"
    kubeconfig of-the-operator >"$home/operator.kubeconfig"
    export KUBECONFIG=$home/admin.kubeconfig HOME=$home
    start_etcd
    start_apiserver
    start_cluster
}
operator=system:serviceaccount:quorate-system:quorate-operator

# The operator's certificate, from a join token into a Secret.
give_credentials() {
    local token address
    token=$(quorate cluster join-token create user kubernetes-operator 2>>"$home/installed")
    address=$(awk '/endpoints:/ { getline; print $2; exit }' "$home/cluster/config.yaml")
    "$programs/quorate" --config "$home/identity.yaml" join "$token" --server "$address"
    "$programs/quorate" --config "$home/identity.yaml" kubeconfig >"$home/identity"
    part() { kubectl --kubeconfig "$home/identity" config view --raw -o "jsonpath={$1}" | base64 -d; }
    part '.clusters[0].cluster.certificate-authority-data' >"$home/ca.crt"
    part '.users[0].user.client-certificate-data' >"$home/tls.crt"
    part '.users[0].user.client-key-data' >"$home/tls.key"
    kubectl -n quorate-system create secret generic quorate-east --from-file="$home/ca.crt" --from-file="$home/tls.crt" \
        --from-file="$home/tls.key"
    echo "{clusters: [{name: east, endpoints: [\"$address\"], credentialsSecret: quorate-east}]}" >"$home/operator.yaml"
}
