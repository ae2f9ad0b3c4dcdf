{{/* What a restricted zone needs, said before anything is installed that only looks closed. */}}
{{- define "gpuspawner.zone.check" -}}
{{- if not (has .Values.zone (list "open" "restricted")) }}
{{- fail (printf "zone: found %s, allowed are open and restricted." (toJson .Values.zone)) }}
{{- end }}
{{- $namespace := dig "GPUSpawner" "namespace" (get .Values.gpuspawner "namespace") .Values.hub.config }}
{{- if and $namespace (ne $namespace (include "gpuspawner.userNamespace" .)) }}
{{- fail (printf "gpuspawner.namespace: found %s, where the chart makes no NetworkPolicy. Say it as singleuser.namespace." (toJson $namespace)) }}
{{- end }}
{{- if eq .Values.zone "restricted" }}
{{- $policy := .Values.singleuser.networkPolicy }}
{{- if not $policy.enabled }}
{{- fail "singleuser.networkPolicy.enabled: found false, and zone: restricted is that NetworkPolicy. Set it to true, or set zone: open." }}
{{- end }}
{{- if $policy.egress.privateIPs }}
{{- fail "singleuser.networkPolicy.egress.privateIPs: found true, which opens the restricted zone to all of the institution. Name what servers may reach in singleuser.networkPolicy.egress.extra." }}
{{- end }}
{{- if and .Values.restrictedZone.httpProxy.existingSecret (include "gpuspawner.ownNamespaces" .) }}
{{- fail "restrictedZone.httpProxy.existingSecret: no namespace that gpuspawner.user_namespaces makes has that Secret. Use a proxy without password, or leave user_namespaces out." }}
{{- end }}
{{- end }}
{{- end }}

{{/* The egress rule that lets servers reach the HTTP proxy, YAML; empty without a proxy. */}}
{{- define "gpuspawner.zone.proxyRule" -}}
{{- $proxy := .Values.restrictedZone.httpProxy }}
{{- $url := $proxy.url | default "" }}
{{- if and $url $proxy.existingSecret }}
{{- fail "restrictedZone.httpProxy.url: found one beside existingSecret, which has it. Leave one of the two out." }}
{{- end }}
{{- if contains "@" $url }}
{{- fail "restrictedZone.httpProxy.url: it has a name or password, which everybody who may read pods would read. Put the URL into a Secret in the servers' namespace, and name that in restrictedZone.httpProxy.existingSecret." }}
{{- end }}
{{- if $proxy.egress }}
{{- include "gpuspawner.network.guarded" (dict "context" . "rule" $proxy.egress "path" "restrictedZone.httpProxy.egress") }}
{{- else if $proxy.existingSecret }}
{{- fail "restrictedZone.httpProxy.egress: missing. The chart cannot read the Secret with the proxy's URL, so say where the proxy is: {to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: 3128}]}." }}
{{- else if $url }}
{{- $parts := urlParse $url }}
{{- if not (has $parts.scheme (list "http" "https")) }}
{{- fail (printf "restrictedZone.httpProxy.url: found %s, which is no URL of an HTTP proxy such as http://192.0.2.10:3128." (toJson $url)) }}
{{- end }}
{{- $port := eq $parts.scheme "https" | ternary 443 80 }}
{{- with regexFind ":[0-9]+$" $parts.host }}
{{- $port = trimPrefix ":" . | atoi }}
{{- end }}
{{- $host := regexReplaceAll ":[0-9]+$" $parts.host "" | trimAll "[]" }}
{{- if regexMatch "^[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+$" $host }}
{{- $host = printf "%s/32" $host }}
{{- else if contains ":" $host }}
{{- $host = printf "%s/128" $host }}
{{- else }}
{{- fail (printf "restrictedZone.httpProxy.egress: missing. A NetworkPolicy knows no names, so say where %s is: {to: [{ipBlock: {cidr: 192.0.2.10/32}}], ports: [{port: %d}]}, or the namespaceSelector and podSelector of its pods." $host $port) }}
{{- end }}
to:
  - ipBlock: {cidr: {{ $host | quote }}}
ports:
  - {protocol: TCP, port: {{ $port }}}
{{- end }}
{{- end }}
