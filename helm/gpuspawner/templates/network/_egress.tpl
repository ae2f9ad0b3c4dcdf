{{/* The NetworkPolicy of servers: YAML of its spec. */}}
{{- define "gpuspawner.network.serverPolicy" -}}
podSelector:
  matchLabels:
    {{- include "gpuspawner.network.serverLabels" . | nindent 4 }}
policyTypes: [Ingress, Egress]
ingress:
  - from:
      - {{- include "gpuspawner.network.component" (dict "context" $ "component" "hub") | nindent 8 }}
      - {{- include "gpuspawner.network.component" (dict "context" $ "component" "proxy") | nindent 8 }}
    ports:
      - {protocol: TCP, port: {{ include "gpuspawner.network.serverPort" . }}}
  {{- with .Values.singleuser.networkPolicy.ingress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
egress:
  {{- include "gpuspawner.network.serverEgress" . | nindent 2 }}
{{- end }}

{{/* Where servers may go, as YAML of the egress rules of a NetworkPolicy. */}}
{{- define "gpuspawner.network.serverEgress" -}}
{{- $policy := .Values.singleuser.networkPolicy }}
{{- $restricted := eq .Values.zone "restricted" }}
{{- $rules := list }}
{{- if $policy.egress.dns }}
{{- $rules = append $rules (include "gpuspawner.network.dns" . | fromYaml) }}
{{- end }}
{{- if $policy.egress.hub }}
{{- $hub := include "gpuspawner.network.component" (dict "context" $ "component" "hub") | fromYaml }}
{{- $rules = append $rules (dict "to" (list $hub) "ports" (list (dict "protocol" "TCP" "port" 8081))) }}
{{- end }}
{{- if $restricted }}
{{- with include "gpuspawner.zone.proxyRule" . }}
{{- $rules = append $rules (fromYaml .) }}
{{- end }}
{{- else }}
{{- $private := include "gpuspawner.network.private" . | fromJsonArray }}
{{- $linkLocal := include "gpuspawner.network.linkLocal" . | fromJsonArray }}
{{- $open := list }}
{{- if $policy.egress.privateIPs }}
{{- $open = $private }}
{{- end }}
{{- $blocks := list }}
{{- range $open }}
{{- $block := include "gpuspawner.network.block" (dict "cidr" . "without" $policy.metadataAddresses) | fromYaml }}
{{- $blocks = append $blocks (dict "ipBlock" $block) }}
{{- end }}
{{- if $policy.egress.nonPrivateIPs }}
{{- $without := concat $private $linkLocal $policy.metadataAddresses }}
{{- range list "0.0.0.0/0" "::/0" }}
{{- $block := include "gpuspawner.network.block" (dict "cidr" . "without" $without) | fromYaml }}
{{- $blocks = append $blocks (dict "ipBlock" $block) }}
{{- end }}
{{- end }}
{{- with $blocks }}
{{- $rules = append $rules (dict "to" .) }}
{{- end }}
{{- end }}
{{- range $policy.egress.extra }}
{{- $rules = append $rules (include "gpuspawner.network.guarded" (dict "context" $ "rule" . "path" "singleuser.networkPolicy.egress.extra") | fromYaml) }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/*
A rule of the values for servers' egress, that leaves out where a cloud tells credentials, as rules add up:
(dict "context" $ "rule" ... "path" "where it stands in the values"). A block that is just such an address is meant so.
In zone restricted a rule names whom it lets servers reach.
*/}}
{{- define "gpuspawner.network.guarded" -}}
{{- $metadata := .context.Values.singleuser.networkPolicy.metadataAddresses }}
{{- $restricted := eq .context.Values.zone "restricted" }}
{{- $rule := deepCopy .rule }}
{{- if not $rule.to }}
{{- if $restricted }}
{{- fail (printf "%s: a rule without `to` lets servers reach everything, and the zone is restricted. Name whom they may reach, or set zone: open." .path) }}
{{- end }}
{{- $_ := set $rule "to" (include "gpuspawner.network.anywhere" .context | fromJsonArray) }}
{{- end }}
{{- $peers := list }}
{{- range $rule.to }}
{{- $peer := . }}
{{- with .ipBlock }}
{{- if and $restricted (or (hasSuffix "/0" .cidr) (has .cidr $metadata)) }}
{{- fail (printf "%s: the block %s lets servers reach what a restricted zone must not. Name the networks they may reach, or set zone: open." $.path .cidr) }}
{{- end }}
{{- $block := include "gpuspawner.network.block" (dict "cidr" .cidr "without" $metadata "except" .except) | fromYaml }}
{{- $peer = dict "ipBlock" $block }}
{{- end }}
{{- $peers = append $peers $peer }}
{{- end }}
{{- $_ := set $rule "to" $peers }}
{{- toYaml $rule }}
{{- end }}
