{{/* Where a cloud tells a machine's credentials, as a JSON list of CIDRs: no server reaches them. */}}
{{- define "gpuspawner.network.metadata" -}}
{{- toJson .Values.singleuser.networkPolicy.metadataAddresses }}
{{- end }}

{{- define "gpuspawner.network.private" -}}
{{- list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fc00::/7" | toJson }}
{{- end }}

{{- define "gpuspawner.network.linkLocal" -}}
{{- list "169.254.0.0/16" "fe80::/10" | toJson }}
{{- end }}

{{/* "true" where one CIDR is strictly within another: (dict "outer" "10.0.0.0/8" "inner" "10.1.0.0/16"). */}}
{{- define "gpuspawner.network.holds" -}}
{{- $outer := include "gpuspawner.network.words" .outer | fromJson }}
{{- $inner := include "gpuspawner.network.words" .inner | fromJson }}
{{- if and (eq $outer.width $inner.width) (gt (int $inner.bits) (int $outer.bits)) }}
  {{- $same := true }}
  {{- range $at, $word := $outer.words }}
    {{- $left := sub (int $outer.bits) (mul $at (int $outer.width)) | max 0 | min (int $outer.width) | int }}
    {{- $step := 1 }}
    {{- range until (int (sub (int $outer.width) $left)) }}
      {{- $step = mul $step 2 }}
    {{- end }}
    {{- if ne (div (int64 $word) $step) (div (int64 (index $inner.words $at)) $step) }}
      {{- $same = false }}
    {{- end }}
  {{- end }}
  {{- if $same }}true{{ end }}
{{- end }}
{{- end }}

{{/* A CIDR as numbers, JSON: its words of 8 bits (IPv4) or 16 bits (IPv6), their width, and how many bits count. */}}
{{- define "gpuspawner.network.words" -}}
{{- $parts := splitList "/" (toString .) }}
{{- $address := first $parts }}
{{- $words := list }}
{{- $width := 8 }}
{{- if contains ":" $address }}
  {{- $width = 16 }}
  {{- $halves := splitList "::" $address }}
  {{- $before := compact (splitList ":" (first $halves)) }}
  {{- $after := list }}
  {{- if gt (len $halves) 1 }}
    {{- $after = compact (splitList ":" (last $halves)) }}
  {{- end }}
  {{- range $before }}
    {{- $words = append $words (int64 (printf "0x%s" .)) }}
  {{- end }}
  {{- range until (int (sub 8 (len $before) (len $after))) }}
    {{- $words = append $words 0 }}
  {{- end }}
  {{- range $after }}
    {{- $words = append $words (int64 (printf "0x%s" .)) }}
  {{- end }}
{{- else }}
  {{- range splitList "." $address }}
    {{- $words = append $words (int64 .) }}
  {{- end }}
{{- end }}
{{- $bits := mul $width (len $words) }}
{{- if gt (len $parts) 1 }}
  {{- $bits = last $parts | int64 }}
{{- end }}
{{- dict "words" $words "width" $width "bits" $bits | toJson }}
{{- end }}

{{/* The ipBlock of a CIDR without some others: (dict "cidr" "0.0.0.0/0" "without" (list ...) "except" (list ...)). */}}
{{- define "gpuspawner.network.block" -}}
{{- $block := dict "cidr" .cidr }}
{{- $except := .except | default list }}
{{- range .without }}
  {{- if and (include "gpuspawner.network.holds" (dict "outer" $.cidr "inner" .)) (not (has . $except)) }}
    {{- $except = append $except . }}
  {{- end }}
{{- end }}
{{- with $except }}
  {{- $_ := set $block "except" . }}
{{- end }}
{{- toYaml $block }}
{{- end }}
