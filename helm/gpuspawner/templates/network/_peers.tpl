{{/* Pods of one component of the release, as a peer of a NetworkPolicy: (dict "context" $ "component" "hub"). */}}
{{- define "gpuspawner.network.component" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ .context.Release.Namespace | quote }}
podSelector:
  matchLabels:
    {{- include "gpuspawner.selectorLabels" . | nindent 4 }}
{{- end }}

{{/* Labels that gpuspawner gives the pods of all servers of this hub, and nobody can patch away. */}}
{{- define "gpuspawner.network.serverLabels" -}}
component: singleuser-server
gpuspawner/hub: {{ include "gpuspawner.network.hubName" . | quote }}
{{- end }}

{{/* All servers of this hub, as a peer; with a namespace for each user, by the label that the hub gives those. */}}
{{- define "gpuspawner.network.servers" -}}
namespaceSelector:
  matchLabels:
    {{- if include "gpuspawner.ownNamespaces" . }}
    gpuspawner/hub: {{ include "gpuspawner.network.hubName" . | quote }}
    {{- else }}
    kubernetes.io/metadata.name: {{ include "gpuspawner.userNamespace" . | quote }}
    {{- end }}
podSelector:
  matchLabels:
    {{- include "gpuspawner.network.serverLabels" . | nindent 4 }}
{{- end }}

{{/* The port that servers listen on. */}}
{{- define "gpuspawner.network.serverPort" -}}
{{- dig "GPUSpawner" "port" (dig "Spawner" "port" 8888 .Values.hub.config) .Values.hub.config | int64 }}
{{- end }}

{{/*
The rule that lets pods look up names: in the cluster's DNS only, as that of anybody else would carry data away. In zone
open also at private addresses: NodeLocal DNSCache answers at the address of DNS's Service, which no selector means.
*/}}
{{- define "gpuspawner.network.dns" -}}
to:
  {{- with .Values.singleuser.networkPolicy.dnsServers }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: kube-system}
    podSelector:
      matchExpressions:
        - {key: k8s-app, operator: In, values: [kube-dns, node-local-dns]}
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: openshift-dns}
  - ipBlock: {cidr: 169.254.20.10/32}
  {{- if eq $.Values.zone "open" }}
  {{- range include "gpuspawner.network.private" $ | fromJsonArray }}
  - ipBlock:
      {{- include "gpuspawner.network.block" (dict "cidr" . "without" $.Values.singleuser.networkPolicy.metadataAddresses) | nindent 6 }}
  {{- end }}
  {{- end }}
  {{- end }}
ports:
  - {protocol: UDP, port: 53}
  - {protocol: TCP, port: 53}
  # Where OpenShift's DNS pods listen.
  - {protocol: UDP, port: 5353}
  - {protocol: TCP, port: 5353}
{{- end }}

{{/* Everywhere but where a cloud tells credentials, as a JSON list of peers. */}}
{{- define "gpuspawner.network.anywhere" -}}
{{- $metadata := .Values.singleuser.networkPolicy.metadataAddresses }}
{{- $peers := list (dict "namespaceSelector" dict) }}
{{- range list "0.0.0.0/0" "::/0" }}
{{- $block := include "gpuspawner.network.block" (dict "cidr" . "without" $metadata) | fromYaml }}
{{- $peers = append $peers (dict "ipBlock" $block) }}
{{- end }}
{{- toJson $peers }}
{{- end }}

{{- define "gpuspawner.network.hubName" -}}
{{- $said := .Values.gpuspawner.hub_name | default (include "gpuspawner.fullname" .) }}
{{- dig "GPUSpawner" "hub_name" $said .Values.hub.config }}
{{- end }}
