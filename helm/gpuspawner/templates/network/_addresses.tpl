{{- define "gpuspawner.network.private" -}}
{{- list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fc00::/7" | toJson }}
{{- end }}

{{- define "gpuspawner.network.linkLocal" -}}
{{- list "169.254.0.0/16" "fe80::/10" | toJson }}
{{- end }}

{{/* The ipBlock of a CIDR without those of some others that are in it: (dict "cidr" ... "without" (list ...) "except" (list ...)). */}}
{{- define "gpuspawner.network.block" -}}
{{- $except := .except | default list }}
{{- range .without }}
{{- if and (include "gpuspawner.network.holds" (dict "outer" $.cidr "inner" .)) (not (has . $except)) }}
{{- $except = append $except . }}
{{- end }}
{{- end }}
{{- $block := dict "cidr" .cidr }}
{{- with $except }}
{{- $_ := set $block "except" . }}
{{- end }}
{{- toYaml $block }}
{{- end }}

{{/* "true" where one CIDR is strictly within another: (dict "outer" "10.0.0.0/8" "inner" "10.1.0.0/16"). */}}
{{- define "gpuspawner.network.holds" -}}
{{- $outer := include "gpuspawner.network.words" .outer | fromJson }}
{{- $inner := include "gpuspawner.network.words" .inner | fromJson }}
{{- $width := int $outer.width }}
{{- $bits := int $outer.bits }}
{{- if and (eq $width (int $inner.width)) (gt (int $inner.bits) $bits) }}
{{- $same := true }}
{{- range $at, $word := $outer.words }}
{{- $counting := min $width (max 0 (sub $bits (mul $at $width))) }}
{{- $step := 1 }}
{{- range until (int (sub $width $counting)) }}
{{- $step = mul $step 2 }}
{{- end }}
{{- if ne (div (int64 $word) $step) (div (int64 (index $inner.words $at)) $step) }}
{{- $same = false }}
{{- end }}
{{- end }}
{{- if $same }}true{{ end }}
{{- end }}
{{- end }}

{{/* A CIDR as JSON: its words of 8 bits (IPv4) or 16 bits (IPv6), their width, and how many bits count. */}}
{{- define "gpuspawner.network.words" -}}
{{- $parts := splitList "/" (toString .) }}
{{- $words := list }}
{{- $width := 8 }}
{{- if contains ":" (first $parts) }}
{{- $width = 16 }}
{{- $halves := splitList "::" (first $parts) }}
{{- $before := compact (splitList ":" (first $halves)) }}
{{- $after := gt (len $halves) 1 | ternary (compact (splitList ":" (last $halves))) list }}
{{- range $before }}
{{- $words = append $words (int64 (printf "0x%s" .)) }}
{{- end }}
{{- range until (int (sub 8 (add (len $before) (len $after)))) }}
{{- $words = append $words 0 }}
{{- end }}
{{- range $after }}
{{- $words = append $words (int64 (printf "0x%s" .)) }}
{{- end }}
{{- else }}
{{- range splitList "." (first $parts) }}
{{- $words = append $words (atoi .) }}
{{- end }}
{{- end }}
{{- $bits := gt (len $parts) 1 | ternary (last $parts | atoi) (mul $width (len $words)) }}
{{- dict "words" $words "width" $width "bits" $bits | toJson }}
{{- end }}
