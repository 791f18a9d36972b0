# What `accept` looks at: objects on both sides, and who has written how often.

# Writes of the operator to our kinds, by kube-apiserver's audit log; those that changed nothing count too.
writes_here() { jq -cR 'fromjson? | select(.responseStatus.code < 300)' "$home"/audit-here*; }
# Finalizers and notes.
marks_here() { writes_here | jq -c 'select(.objectRef.subresource == null)' | wc -l; }
# Statuses, and those among them that say that the cluster does not answer.
shows_here() { writes_here | jq -c 'select(.objectRef.subresource == "status")' | wc -l; }
alarms_here() { writes_here | jq -c 'select(any(.requestObject.status.conditions[]?; .reason == "ClusterUnreachable"))' | wc -l; }
# Writes of the operator to the cluster, by the cluster's audit log. What has changed nothing names the revision that was there.
writes_there() {
    cat "$home"/cluster/m1/audit/audit.log* |
        jq -cR 'fromjson? | select(.user == "kubernetes-operator" and .result == "OK") | [.kind, .name, .revision]' | sort -u | wc -l
}
# The sum of a figure over both replicas.
figure() {
    for port in "${ports[3]}" "${ports[4]}"; do curl -sf "http://127.0.0.1:$port/metrics"; done |
        awk -v start="$1" 'index($1, start) == 1 { sum += $2 } END { print sum + 0 }'
}
# The objects of the example as the cluster has them, with their uids; it has others that it makes by itself.
there() {
    quorate get "${kinds//.quorate.dev/}" -o json | jq -r '.items[] | "\(.kind)/\(.metadata.name) \(.metadata.uid)"' | sort |
        join - <(kubectl get -o json "${platform[@]}" | jq -r '.items[] | "\(.kind)/\(.metadata.name)"' | sort)
}
# What the cluster says about the objects of the example, on either side.
conditions() { jq -r '.items[] | "\(.kind)/\(.metadata.name)" as $object | .status.conditions[]? | select(.type != "Synced") |
    "\($object) \(.type) \(.status) \(.reason) \(.message)"' | sort; }
conditions_agree() {
    diff <(quorate get "${kinds//.quorate.dev/}" -o json | conditions | join - <(cut -d' ' -f1 "$home/there-before")) \
        <(kubectl get "$kinds" -o json | conditions | join - <(cut -d' ' -f1 "$home/there-before"))
}
synced_is() {
    kubectl get "$1" -o json |
        jq -e --arg status "$2" --arg reason "$3" '.status.conditions[] | select(.type == "Synced" and .status == $status and .reason == $reason)'
}
# Whether the network is on both sides what it shall be.
agrees() {
    local name=$1 mtu=$2 found
    if [ "$mtu" = gone ]; then
        is_gone "$name" && found=$(quorate get network -o json) &&
            jq -e --arg name "$name" '[.items[] | select(.metadata.name == $name)] == []' <<<"$found"
    else
        [ "$(quorate get "network/$name" -o 'jsonpath={.spec.mtu}')" = "$mtu" ] &&
            [ "$(kubectl get "networks.quorate.dev/$name" -o 'jsonpath={.spec.mtu}')" = "$mtu" ] &&
            synced_is "networks.quorate.dev/$name" True Synced
    fi
}
