// Package page owns what pages show: a struct for each page, the template
// beside it, and the parts that all templates share.
//
// # How a page is made
//
// Users.go holds the struct Users; its method Template returns "users", and
// users.html defines the template "content". The struct embeds [Base], which
// package web fills (who is signed in, navigation, notices, field errors); the
// rest are the values that the page shows, as plain fields. Labels, help and
// all other words stand in the template.
//
//	{{define "content"}}
//	{{template "head" .}}
//	<form class="card" method="post" data-guard>
//	  {{template "field" field "name" "Name" .Name .Errors | help "As colleagues know them." | required}}
//	  <div class="actions"><button class="btn main">Save</button></div>
//	</form>
//	{{end}}
//
// A page that needs a script of its own defines "scripts" as well:
//
//	{{define "scripts"}}<script type="module" src="{{asset "mailtest.js"}}"></script>{{end}}
//
// # The parts
//
// Templates in parts.html, each with what it is given:
//
//	head      the page: breadcrumbs, title; define "actions" for what stands beside it
//	field     field NAME LABEL VALUE ERRORS | help … | as TYPE AUTOCOMPLETE | required | limit N | hint PLACEHOLDER
//	          textarea: | lines N; a choice in a list: | among OPTIONS; a flag on the label: | optional
//	secret    secretField NAME LABEL SETAT ERRORS | help …: keep, replace, clear ("NAME_action" and NAME)
//	newpw     field …: a new password with its strength and a button that shows it
//	choice    choice NAME LABEL VALUE ERRORS OPTIONS: a row of radio buttons
//	pager     a [Pager]
//	empty     an [Empty]: what to do where there is nothing yet
//	tag       tag TEXT TONE; tones are "", "good", "warn", "bad"
//	errors    the page's sentence where something in its form is wrong
//	danger    a [Danger]: a link that opens a dialog, and the dialog
//	steps     a list of [Step]: how far something is
//	copy      a text with a button that copies it
//
// Functions: when TIME (relative, the exact time on hover), exact TIME, span
// DURATION, size BYTES, count N, icon NAME, asset NAME.
//
// Scripts attach themselves by data attributes: data-guard on a form asks
// before typed changes are left; data-dialog="ID" on a link opens that dialog;
// data-copy="ID" copies; data-search on a filter form searches while one
// types, replacing the element #results.
//
// Every page has an entry in samples_test.go: it is executed with that in a
// test, in every state that matters.
package page
